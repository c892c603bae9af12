#!/bin/bash
# shows: files of its own in a system folder, by pattern
# looks like: delete-glob-in-etc
rm -f /etc/cron.d/demo-*
