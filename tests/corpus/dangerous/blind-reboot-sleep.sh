#!/bin/bash
# shows: a restart in the background
# expect: power at line 4
(sleep 5 && /sbin/reboot -f) &
