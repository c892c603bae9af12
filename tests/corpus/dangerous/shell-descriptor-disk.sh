#!/bin/bash
# shows: a disk by a descriptor opened earlier
# expect: block-device at line 4
exec 7>/dev/sda
cat /opt/image.raw >&7
