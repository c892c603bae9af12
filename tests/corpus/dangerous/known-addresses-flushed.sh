#!/bin/bash
# shows: an interface without addresses
# expect: network-down at line 4
ip -4 addr flush dev ens192
