#!/bin/bash
# shows: modules are listed
# looks like: kernel-module
lsmod | grep -q '^overlay' || echo 'no overlay'
modprobe -n -v overlay
