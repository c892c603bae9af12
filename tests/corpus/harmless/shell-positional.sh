#!/bin/bash
# shows: what is its own
# looks like: shell-positional
set -- -r -f /home/app/.cache
rm "$@"
