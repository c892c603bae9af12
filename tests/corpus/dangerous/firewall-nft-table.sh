#!/bin/bash
# shows: a table that others made
# expect: firewall-off at line 4
nft delete table inet filter
