#!/bin/bash
# shows: an empty folder copied over the configuration
# expect: system-delete at line 4
rsync -a --delete /var/empty/ /etc/
