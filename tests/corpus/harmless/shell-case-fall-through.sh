#!/bin/bash
# shows: what is its own
# looks like: shell-case-fall-through
case "$1" in
  start) echo go ;&
  stop) rm -rf /run/app ;;
esac
