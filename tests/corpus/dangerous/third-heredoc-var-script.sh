#!/bin/bash
# shows: a script written by a variable's name and run
# expect: system-delete at line 5
file=/tmp/clean.sh
cat >"$file" <<'END'
rm -rf /var
END
sh "$file"
