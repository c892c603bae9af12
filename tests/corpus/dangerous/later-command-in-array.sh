#!/bin/bash
# shows: a command kept as an array
# expect: system-delete at line 5
cleanup=(rm -rf /lib/modules)
"${cleanup[@]}"
