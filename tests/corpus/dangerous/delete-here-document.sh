#!/bin/bash
# shows: commands for a shell in a here-document
# expect: system-delete at line 4
bash <<'END'
set -e
rm -rf /var/cache/../../etc
END
