#!/bin/bash
# shows: emptied by its size
# expect: system-delete at line 4
truncate -s 0 /etc/passwd
