#!/bin/bash
# shows: what is its own
# looks like: later-command-in-array
cleanup=(rm -rf /opt/app/modules)
"${cleanup[@]}"
