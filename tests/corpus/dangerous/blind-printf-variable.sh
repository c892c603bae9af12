#!/bin/bash
# shows: a path that printf puts into a variable
# expect: system-delete at line 5
printf -v where '/%s' etc
rm -r "$where"
