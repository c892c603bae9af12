#!/bin/bash
# shows: pieces put together by eval
# expect: system-delete at line 5
a="rm -r" b="f /us" c=r
eval "$a$b$c"
