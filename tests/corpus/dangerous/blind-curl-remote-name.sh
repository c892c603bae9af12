#!/bin/bash
# shows: the remote name, then run with a path
# expect: network-to-shell at line 7
cd /tmp
curl -fsSLO https://get.example.com/tool.run
chmod 755 tool.run
./tool.run
