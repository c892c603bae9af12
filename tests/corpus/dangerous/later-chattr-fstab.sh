#!/bin/bash
# shows: nothing can be mounted at boot
# expect: system-delete at line 4
sed -i '/./d' /etc/fstab
