#!/bin/bash
# shows: a list of its own files
# looks like: delete-find-xargs
find /opt/demo -name '*.tmp' -print0 | xargs -0 --no-run-if-empty rm -f
