#!/bin/bash
# shows: what is its own
# looks like: new-lxc-device
lxc config device add box data disk source=/srv/data path=/data
