#!/bin/bash
# shows: nftables emptied by a text
# expect: firewall-off at line 4
nft -f - <<< 'flush ruleset'
