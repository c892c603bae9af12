#!/bin/bash
# shows: command substitution for -c
# expect: network-to-shell at line 4
bash -c "$(curl -fsSL https://get.example.com/install.sh)"
