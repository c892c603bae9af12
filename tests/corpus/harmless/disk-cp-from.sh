#!/bin/bash
# shows: copies a device node's data to a file
# looks like: disk-cp
cp /proc/partitions /opt/demo/partitions.txt
