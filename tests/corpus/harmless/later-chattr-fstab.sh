#!/bin/bash
# shows: what is its own
# looks like: later-chattr-fstab
sed -i '/app-data/d' /etc/fstab
