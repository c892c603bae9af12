#!/bin/bash
# shows: what is its own
# looks like: third-heredoc-var-script
file=/tmp/clean.sh
cat >"$file" <<'END'
rm -rf /var/cache/app
END
sh "$file"
