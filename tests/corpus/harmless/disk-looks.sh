#!/bin/bash
# shows: only looks at disks
# looks like: disk-sgdisk
lsblk --json
sgdisk --print /dev/sda
fdisk -l
