#!/bin/bash
# shows: packed, and the files deleted
# expect: system-delete at line 4
rsync --remove-source-files /etc/fstab /tmp/
