#!/bin/bash
# shows: logs deleted
# expect: traces-wiped at line 4
rm -f /var/log/auth.log /var/log/wtmp
