#!/bin/bash
# shows: the resolver's settings emptied
# expect: system-delete at line 4
truncate -s 0 /etc/resolv.conf
