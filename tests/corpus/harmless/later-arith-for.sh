#!/bin/bash
# shows: what is its own
# looks like: later-arith-for
for letter in a b c; do
  dd if=/dev/zero of="/opt/app/sd$letter" bs=1M count=1
done
