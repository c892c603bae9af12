#!/bin/bash
# shows: a folder out of a table by name
# expect: system-delete at line 5
declare -A where=([conf]=/etc [data]=/opt/app/data)
rm -rf "${where[conf]}"
