#!/bin/bash
# shows: a boot loader over a partition, oflag after it
# expect: block-device at line 4
dd conv=fsync of=/dev/nvme0n1p2 if=/boot/loader.img oflag=direct
