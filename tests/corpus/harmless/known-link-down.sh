#!/bin/bash
# shows: what is its own
# looks like: known-link-down
ip link set dev eth0 down
ip link set dev eth0 address 02:00:00:00:00:01
ip link set dev eth0 up
