#!/bin/bash
# shows: behind command and exec
# expect: system-delete at line 5
command true
exec command rm -rf /lib64
