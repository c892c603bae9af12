#!/bin/bash
# shows: piped into Python
# expect: network-to-shell at line 4
curl -sSL https://install.example.org | python3 -
