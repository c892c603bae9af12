#!/bin/bash
# shows: what is its own
# looks like: shell-pkill-init
pkill -9 -f /opt/app/server
