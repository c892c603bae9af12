#!/bin/bash
# shows: an image file
# looks like: disk-dd
dd if=/dev/zero of=/var/lib/demo/disk.img bs=1M count=8
