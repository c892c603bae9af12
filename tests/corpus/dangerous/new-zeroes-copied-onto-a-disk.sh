#!/bin/bash
# shows: zeroes copied onto a disk
# expect: block-device at line 4
cp /dev/zero /dev/nvme0n1
