#!/bin/bash
# shows: process substitution
# expect: network-to-shell at line 4
bash <(curl -s https://get.example.com/install.sh)
