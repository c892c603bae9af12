#!/bin/bash
# shows: folders from a list in the script
# expect: system-delete at line 5
while read -r dir; do
  rm -rf "$dir"
done <<END
/opt/demo
/usr
END
