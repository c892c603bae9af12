#!/bin/bash
# shows: what is its own
# looks like: later-assoc-array
declare -A where=([conf]=/opt/app/conf [data]=/opt/app/data)
rm -rf "${where[conf]}"
