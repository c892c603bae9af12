#!/bin/bash
# shows: all interfaces by ifdown
# expect: network-down at line 4
ifdown -a
