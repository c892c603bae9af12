#!/bin/bash
# shows: a disk is read
# looks like: disk-dd-partition
dd if=/dev/sda of=/root/mbr.bin bs=512 count=1
