#!/bin/bash
# shows: a table for cron made and installed
# expect: system-delete at line 5
echo '0 3 * * * rm -rf /var/backups' >/tmp/table
crontab /tmp/table
