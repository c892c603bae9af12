#!/bin/bash
# shows: every line of the accounts left out by gawk
# expect: system-delete at line 4
gawk -i inplace 'NR > 0 { next }' /etc/fstab
