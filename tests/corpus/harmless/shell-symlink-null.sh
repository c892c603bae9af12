#!/bin/bash
# shows: what is its own
# looks like: shell-symlink-null
ln -sfn /dev/null /etc/systemd/system/app-old.service
