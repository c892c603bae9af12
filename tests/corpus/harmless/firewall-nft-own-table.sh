#!/bin/bash
# shows: a table of its own is emptied
# looks like: firewall-nft
nft add table inet demo
nft flush table inet demo
