#!/bin/bash
# shows: zeroes for a disk, by socat
# expect: block-device at line 4
socat -u FILE:/dev/zero OPEN:/dev/sda
