#!/bin/bash
# shows: every table emptied by a loop
# expect: firewall-off at line 5
for table in filter nat mangle; do
  iptables -t "$table" -F
done
