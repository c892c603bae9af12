#!/bin/bash
# shows: fetched by redirection to a file, then sourced
# expect: network-to-shell at line 6
tmp=$(mktemp)
curl -s https://get.example.com/rc > "$tmp"
. "$tmp"
