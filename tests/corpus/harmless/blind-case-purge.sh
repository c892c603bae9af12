#!/bin/bash
# shows: its own data in one branch
# looks like: blind-case-branch
case "$1" in
  purge) rm -rf /var/lib/demo /etc/demo ;;
esac
