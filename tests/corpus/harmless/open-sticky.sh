#!/bin/bash
# shows: a folder like /tmp
# looks like: open-root-glob
mkdir -p /var/lib/demo/drop
chmod 1777 /var/lib/demo/drop
