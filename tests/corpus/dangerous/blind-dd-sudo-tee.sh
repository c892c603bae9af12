#!/bin/bash
# shows: an image through sudo tee
# expect: block-device at line 5
image=/boot/a.img
gunzip -c "$image.gz" | sudo tee /dev/mmcblk0 > /dev/null
