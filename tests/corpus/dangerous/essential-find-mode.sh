#!/bin/bash
# shows: programs that a search by mode finds
# expect: system-delete at line 4
find /usr -perm -4000 -delete
