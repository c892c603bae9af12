#!/bin/bash
# shows: every line deleted in an editor
# expect: system-delete at line 4
ed -s /etc/fstab <<< $'1,$d\nw'
