#!/bin/bash
# shows: what is its own
# looks like: new-an-image-written-over-a-disk
dd of=/opt/app/swapless if=/dev/zero bs=4M count=1
