#!/bin/bash
# shows: the rules are listed
# looks like: firewall-table
iptables -L -n
nft list ruleset
