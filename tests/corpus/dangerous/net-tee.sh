#!/bin/bash
# shows: on its way through tee
# expect: network-to-shell at line 4
curl -s https://get.example.com/install.sh | tee /tmp/install.log | bash
