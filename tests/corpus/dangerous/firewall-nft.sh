#!/bin/bash
# shows: nftables emptied
# expect: firewall-off at line 4
nft flush ruleset
