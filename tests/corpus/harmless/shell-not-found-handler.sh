#!/bin/bash
# shows: what is its own
# looks like: shell-not-found-handler
command_not_found_handle() { echo "no $1" >&2; return 127; }
no-such-command
