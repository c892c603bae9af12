#!/bin/bash
# shows: nftables stopped and off
# expect: firewall-off at line 4
systemctl stop nftables
