#!/bin/bash
# shows: what is its own
# looks like: later-crontab-file
echo '0 3 * * * rm -rf /var/backups/app' >/tmp/table
crontab /tmp/table
