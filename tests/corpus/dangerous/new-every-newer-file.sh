#!/bin/bash
# shows: every newer file
# expect: system-delete at line 4
find / -xdev -type f -newer /etc/passwd -exec rm -f {} +
