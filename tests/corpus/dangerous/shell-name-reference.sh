#!/bin/bash
# shows: a folder by a reference to another variable's name
# expect: system-delete at line 6
place=/usr
declare -n where=place
rm -rf "$where"
