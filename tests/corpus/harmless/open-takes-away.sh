#!/bin/bash
# shows: write access is taken away
# looks like: open-find-chmod
chmod -R go-w /etc/demo
find /etc/demo -type f -exec chmod 0640 {} +
