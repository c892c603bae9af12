#!/bin/bash
# shows: the interface taken down
# expect: network-down at line 4
ip link set dev eth0 down
