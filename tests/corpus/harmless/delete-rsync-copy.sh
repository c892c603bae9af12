#!/bin/bash
# shows: a system folder is copied, nothing deleted
# looks like: delete-rsync-empty
rsync -a /var/lib/demo/ /var/backups/demo/
