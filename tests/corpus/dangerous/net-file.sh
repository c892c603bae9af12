#!/bin/bash
# shows: fetched to a file, then run without a look at it
# expect: network-to-shell at line 5
curl -fsSLo /tmp/install.sh https://get.example.com/install.sh
sh /tmp/install.sh
