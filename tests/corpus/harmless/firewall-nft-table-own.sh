#!/bin/bash
# shows: a table that it made itself
# looks like: firewall-nft-table
nft add table inet demo
nft add chain inet demo input
nft delete table inet demo
