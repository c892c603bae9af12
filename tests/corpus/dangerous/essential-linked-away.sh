#!/bin/bash
# shows: a link to nothing in its place
# expect: system-delete at line 4
ln -sf /dev/null /etc/nsswitch.conf
