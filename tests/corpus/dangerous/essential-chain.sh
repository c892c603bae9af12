#!/bin/bash
# shows: emptied by the last of a chain
# expect: system-delete at line 4
cp /etc/fstab /root && echo -n > /etc/fstab
