#!/bin/bash
# shows: what is its own
# looks like: later-read-loop-heredoc
while read -r folder; do rm -rf "$folder"; done <<'END'
/opt/app/a
/opt/app/b
END
