#!/bin/bash
# shows: what is its own
# looks like: later-bash-loadable
enable -f /usr/lib/bash/rm rm
rm -rf /opt/app/x
