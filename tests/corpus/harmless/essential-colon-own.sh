#!/bin/bash
# shows: a file of its own is begun
# looks like: essential-colon
true > /etc/demo/fstab
