#!/bin/bash
# shows: a file system over a disk
# expect: block-device at line 4
mkfs.ext4 -F /dev/vdb
