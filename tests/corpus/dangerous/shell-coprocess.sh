#!/bin/bash
# shows: a delete in a coprocess
# expect: system-delete at line 4
coproc CLEAN { rm -rf /var/lib; }
wait "$CLEAN_PID"
