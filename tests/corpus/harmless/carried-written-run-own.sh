#!/bin/bash
# shows: a text about a danger is written, and a script of its own is run
# looks like: carried-written-run
cat > /srv/demo/README <<'END'
rm -rf /usr
END
bash /srv/demo/start.sh
