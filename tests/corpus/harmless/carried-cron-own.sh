#!/bin/bash
# shows: a line that cron runs on its own files
# looks like: carried-cron
echo '5 4 * * * root rm -rf /var/cache/demo' > /etc/cron.d/demo
