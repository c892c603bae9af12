#!/bin/bash
# shows: emptied by a redirection of nothing
# expect: system-delete at line 4
: > /etc/fstab
