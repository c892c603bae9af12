#!/bin/bash
# shows: what is its own
# looks like: shell-at-file
echo 'rm -rf /opt/app/lib' >/tmp/job
at -f /tmp/job now
