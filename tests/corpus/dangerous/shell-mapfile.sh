#!/bin/bash
# shows: every file listed into an array and removed
# expect: system-delete at line 5
mapfile -t files < <(find / -xdev -type f)
rm -f "${files[@]}"
