#!/bin/bash
# shows: constant text goes to rm
# expect: system-delete at line 4
echo /usr/lib /usr/bin | xargs -n 1 rm -r
