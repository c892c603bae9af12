#!/bin/bash
# shows: swap over a partition
# expect: block-device at line 4
mkswap /dev/sda2
