#!/bin/bash
# shows: folders of its own from a list
# looks like: blind-read-list
while read -r dir; do
  rm -rf "$dir"
done <<END
/opt/demo/a
/opt/demo/b
END
