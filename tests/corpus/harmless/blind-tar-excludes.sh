#!/bin/bash
# shows: a system folder is archived
# looks like: blind-tar-remove
tar -czf /var/backups/etc.tgz --exclude=/etc/shadow /etc
