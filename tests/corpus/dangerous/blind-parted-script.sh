#!/bin/bash
# shows: a new partition table
# expect: block-device at line 4
parted --script /dev/sdb mklabel gpt
