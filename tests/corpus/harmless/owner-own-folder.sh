#!/bin/bash
# shows: its own folder to its own account
# looks like: owner-usr
chown -R demo:demo /var/lib/demo /var/log/demo
