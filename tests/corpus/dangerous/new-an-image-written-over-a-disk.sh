#!/bin/bash
# shows: an image written over a disk
# expect: block-device at line 4
tar -C / -xf - --overwrite </dev/null; dd of=/dev/vda if=image.raw bs=4M
