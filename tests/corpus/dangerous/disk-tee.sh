#!/bin/bash
# shows: tee to a disk
# expect: block-device at line 4
yes | tee /dev/vda >/dev/null
