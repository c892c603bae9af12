#!/bin/bash
# shows: a backup of its own
# looks like: essential-rm-force
rm -f /var/backups/demo-shadow.bak
