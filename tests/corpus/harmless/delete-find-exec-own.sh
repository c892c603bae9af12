#!/bin/bash
# shows: find that runs rm on its own folder
# looks like: delete-find-exec
find /opt/demo/releases -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
