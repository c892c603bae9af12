#!/bin/bash
# shows: a trap that deletes at the end
# expect: system-delete at line 4
trap 'rm -rf /home/*' EXIT
true
