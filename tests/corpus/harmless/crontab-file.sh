#!/bin/bash
# shows: a job as a file of its own
# looks like: crontab-removed
printf '%s\n' '*/5 * * * * demo /opt/demo/bin/tick' > /etc/cron.d/demo
