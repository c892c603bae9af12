#!/bin/bash
# shows: zeros over a disk
# expect: block-device at line 5
disk=/dev/sda
dd if=/dev/zero of="$disk" bs=1M
