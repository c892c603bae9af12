#!/bin/bash
# shows: every route emptied
# expect: network-down at line 4
ip route flush table main
