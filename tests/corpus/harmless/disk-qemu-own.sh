#!/bin/bash
# shows: an image put into a file
# looks like: disk-qemu
qemu-img convert -O raw demo.qcow2 /srv/demo/vda
