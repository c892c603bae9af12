#!/bin/bash
# shows: a table of the firewall
# expect: firewall-off at line 4
nft delete table inet filter
