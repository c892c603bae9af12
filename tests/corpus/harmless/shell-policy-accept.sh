#!/bin/bash
# shows: what is its own
# looks like: shell-policy-accept
for table in filter nat mangle; do
  iptables -t "$table" -S
done
