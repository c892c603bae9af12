#!/bin/bash
# shows: each file of a tree emptied in a loop
# expect: system-delete at line 5
find /etc -type f -print0 | while IFS= read -r -d '' file; do
  : >"$file"
done
