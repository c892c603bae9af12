#!/bin/bash
# shows: what is its own
# looks like: shell-declare-p-secret
echo start
declare -p DB_HOST
