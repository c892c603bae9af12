#!/bin/bash
# shows: what is its own
# looks like: shell-name-reference
place=/opt/app/cache
declare -n where=place
rm -rf "$where"
