#!/bin/bash
# shows: what is its own
# looks like: carried-chattr-fstab
sed -i '/app-data/d' /etc/fstab
