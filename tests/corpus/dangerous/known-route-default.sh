#!/bin/bash
# shows: no way out any more
# expect: network-down at line 4
ip route del default
