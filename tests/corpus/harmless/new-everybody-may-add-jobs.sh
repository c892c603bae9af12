#!/bin/bash
# shows: what is its own
# looks like: new-everybody-may-add-jobs
chmod 0755 /etc/cron.d
