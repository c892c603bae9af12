#!/bin/bash
# shows: tee to a file
# looks like: disk-tee
echo 'fs.inotify.max_user_watches = 65536' | tee /etc/sysctl.d/90-demo.conf >/dev/null
