#!/bin/bash
# shows: arguments by set
# expect: system-delete at line 5
set -- -r -f /home
rm "$@"
