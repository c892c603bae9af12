#!/bin/bash
# shows: names made from letters and numbers
# expect: block-device at line 5
for letter in a b c; do
  dd if=/dev/zero of="/dev/sd$letter" bs=1M
done
