#!/bin/bash
# shows: a cloned repository's script, by a variable
# expect: network-to-shell at line 6
place=/opt/tool
git clone -b stable https://example.com/tool "$place"
"$place"/bin/setup
