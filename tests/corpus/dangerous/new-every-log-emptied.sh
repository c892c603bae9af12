#!/bin/bash
# shows: every log emptied
# expect: traces-wiped at line 4
find /var/log -type f -exec truncate -s0 {} \;
