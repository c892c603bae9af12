#!/bin/bash
# shows: an image put on a disk
# expect: block-device at line 4
qemu-img convert -O raw demo.qcow2 /dev/vda
