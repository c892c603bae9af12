#!/bin/bash
# shows: a log is read
# looks like: traces-logs
journalctl -u demo --since today --no-pager
tail -n 20 /var/log/syslog
