#!/bin/bash
# shows: all but one by an extended pattern
# expect: system-delete at line 6
shopt -s extglob
cd /
rm -rf !(tmp)
