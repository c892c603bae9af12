#!/bin/bash
# shows: what is its own
# looks like: new-a-table-of-the-firewall
nft list table inet filter
