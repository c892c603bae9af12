#!/bin/bash
# shows: a partition table zapped
# expect: block-device at line 4
sgdisk --zap-all /dev/nvme0n1
