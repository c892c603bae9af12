#!/bin/bash
# shows: the classic
# expect: network-to-shell at line 4
curl -fsSL https://get.example.com/install.sh | sh
