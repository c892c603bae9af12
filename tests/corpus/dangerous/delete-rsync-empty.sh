#!/bin/bash
# shows: an empty folder is mirrored over a system folder
# expect: system-delete at line 5
empty=$(mktemp -d)
rsync -a --delete "$empty/" /var/lib/
