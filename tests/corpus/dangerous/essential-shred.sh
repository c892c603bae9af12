#!/bin/bash
# shows: overwritten, then removed
# expect: system-delete at line 4
shred -u /etc/shadow
