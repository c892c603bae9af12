#!/bin/bash
# shows: a disk overwritten at random
# expect: block-device at line 4
shred -n 1 /dev/xvda
