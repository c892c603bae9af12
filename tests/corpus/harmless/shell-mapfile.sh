#!/bin/bash
# shows: what is its own
# looks like: shell-mapfile
mapfile -t files < <(find /opt/app -xdev -type f -name '*.tmp')
rm -f "${files[@]}"
