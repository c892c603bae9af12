#!/bin/bash
# shows: a file system in a file
# looks like: disk-mkfs
truncate -s 16M /var/lib/demo/fs.img
mkfs.ext4 -q -F /var/lib/demo/fs.img
