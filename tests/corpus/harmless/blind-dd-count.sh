#!/bin/bash
# shows: a random key
# looks like: blind-dd-sudo-tee
dd if=/dev/urandom of=/etc/demo/key bs=32 count=1 status=none
