#!/bin/bash
# shows: an image copied onto a disk
# expect: block-device at line 4
cp image.img /dev/disk/by-id/ata-DISK-1
