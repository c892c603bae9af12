#!/bin/bash
# shows: what is its own
# looks like: shell-coprocess
coproc CLEAN { rm -rf /var/lib/app/old; }
wait "$CLEAN_PID"
