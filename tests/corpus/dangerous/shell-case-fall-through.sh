#!/bin/bash
# shows: a delete that a case falls through to
# expect: system-delete at line 6
case "$1" in
  start) echo go ;&
  stop) rm -rf /sbin ;;
esac
