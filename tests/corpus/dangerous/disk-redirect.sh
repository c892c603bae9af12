#!/bin/bash
# shows: a redirection to a disk
# expect: block-device at line 4
printf '\0\0\0\0' > /dev/sda
