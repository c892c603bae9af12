#!/bin/bash
# shows: fetched to a file, made executable, run
# expect: network-to-shell at line 6
wget -q -O /tmp/setup https://get.example.com/setup
chmod +x /tmp/setup
/tmp/setup --unattended
