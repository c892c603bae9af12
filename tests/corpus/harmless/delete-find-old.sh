#!/bin/bash
# shows: old files of its own
# looks like: delete-find-delete
find /var/lib/demo -type f -mtime +30 -delete
