#!/bin/bash
# shows: commands for su
# expect: system-delete at line 4
su - root -c "rm -rf /var/log/.. "
