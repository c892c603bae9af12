#!/bin/bash
# shows: a line for the log
# looks like: traces-history-file
echo "$(date -Is) installed" >> /var/log/demo.log
logger -t demo installed
