#!/bin/bash
# shows: a cloned repository's script, from within
# expect: network-to-shell at line 6
git clone git@example.com:app/tool.git
cd tool || exit 1
bash ./setup.sh
