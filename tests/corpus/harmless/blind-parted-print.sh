#!/bin/bash
# shows: a table is printed
# looks like: blind-parted-script
parted --script /dev/sda print
