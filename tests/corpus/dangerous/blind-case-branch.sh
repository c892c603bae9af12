#!/bin/bash
# shows: in one branch of a case
# expect: system-delete at line 6
case "$1" in
  purge)
    rm -rf /var/lib/dpkg /opt/demo
    ;;
  *) true ;;
esac
