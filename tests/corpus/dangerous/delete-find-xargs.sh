#!/bin/bash
# shows: find's list goes to rm
# expect: system-delete at line 4
find /etc -print0 | xargs -0 rm -rf
