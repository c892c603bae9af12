#!/bin/bash
# shows: a package straight from an address that is not encrypted
# expect: network-to-shell at line 4
curl -s http://get.example.com/get-pip.py | python3
