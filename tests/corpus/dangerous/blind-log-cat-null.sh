#!/bin/bash
# shows: emptied by cat
# expect: traces-wiped at line 4
cat /dev/null > /var/log/auth.log
