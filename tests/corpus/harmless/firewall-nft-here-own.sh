#!/bin/bash
# shows: nftables replaced as a whole
# looks like: firewall-nft-here
nft -f - <<< 'flush ruleset; table inet demo { chain input { type filter hook input priority 0; policy drop; } }'
