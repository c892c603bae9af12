#!/bin/bash
# shows: random bytes onto a disk by its name
# expect: block-device at line 4
pv /dev/urandom > /dev/disk/by-id/ata-X
