#!/bin/bash
# shows: a cloned repository's script
# expect: network-to-shell at line 5
git clone --depth 1 https://example.com/tool.git /opt/tool
/opt/tool/install.sh --all
