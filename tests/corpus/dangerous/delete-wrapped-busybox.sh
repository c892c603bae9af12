#!/bin/bash
# shows: the rm of busybox
# expect: system-delete at line 4
/bin/busybox rm -rf /root
