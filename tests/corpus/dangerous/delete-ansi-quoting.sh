#!/bin/bash
# shows: a path in ANSI-C quoting
# expect: system-delete at line 4
rm -rf $'/\x75sr'
