#!/bin/bash
# shows: folders read from a list below
# expect: system-delete at line 4
while read -r folder; do rm -rf "$folder"; done <<'END'
/boot
/srv
END
