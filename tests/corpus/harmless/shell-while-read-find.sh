#!/bin/bash
# shows: what is its own
# looks like: shell-while-read-find
find /opt/app/log -type f -print0 | while IFS= read -r -d '' file; do
  : >"$file"
done
