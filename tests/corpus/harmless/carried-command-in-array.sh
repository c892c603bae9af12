#!/bin/bash
# shows: what is its own
# looks like: carried-command-in-array
cleanup=(rm -rf /opt/app/modules)
"${cleanup[@]}"
