#!/bin/bash
# shows: what is its own
# looks like: shell-hash-path
hash -p /bin/rm tidy
tidy -rf /opt/app/old
