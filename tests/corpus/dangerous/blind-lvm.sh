#!/bin/bash
# shows: a volume removed
# expect: block-device at line 4
lvremove -f /dev/vg0/root
