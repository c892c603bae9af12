#!/bin/bash
# shows: rules off for both families
# expect: firewall-off at line 5
for tool in iptables ip6tables; do
  "$tool" -F
done
