#!/bin/bash
# shows: each interface taken down
# expect: network-down at line 5
for name in enp1s0 ens3; do
  ip link set "$name" down
done
