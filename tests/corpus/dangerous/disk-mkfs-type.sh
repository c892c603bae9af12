#!/bin/bash
# shows: the type as an option
# expect: block-device at line 4
mkfs -t xfs -f /dev/sdc1
