#!/bin/bash
# shows: its own log is deleted
# looks like: traces-truncate
rm -f /var/log/demo/old.log
: > /var/log/demo/current.log
