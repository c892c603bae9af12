#!/bin/bash
# shows: an interface by ifconfig
# expect: network-down at line 4
ifconfig eth1 down
