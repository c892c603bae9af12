#!/bin/bash
# shows: a disk in a process substitution
# expect: block-device at line 4
cat /opt/image.raw | tee >(dd of=/dev/nvme0n1 bs=1M) | sha256sum
