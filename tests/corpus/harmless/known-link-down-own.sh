#!/bin/bash
# shows: what is its own
# looks like: known-link-down-own
for name in app0 wg0; do
  ip link set "$name" down
done
