#!/bin/bash
# shows: fetched, shown and run
# expect: network-to-shell at line 4
curl -s https://example.com/setup | tee /dev/stderr | sudo -E bash -s -- --yes
