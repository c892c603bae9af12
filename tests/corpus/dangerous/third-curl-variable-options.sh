#!/bin/bash
# shows: fetched with options kept in an array
# expect: network-to-shell at line 5
options=(-fsSL --retry 3)
curl "${options[@]}" https://example.com/i.sh | bash -s -- --yes
