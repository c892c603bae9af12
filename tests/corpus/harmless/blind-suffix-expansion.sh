#!/bin/bash
# shows: old files next to the new ones
# looks like: blind-replace-expansion
file=/etc/demo.conf
cp -a "$file" "${file%.conf}.bak"
rm -f "${file%.conf}.old"
