#!/bin/bash
# shows: a delete in a menu
# expect: system-delete at line 5
select choice in keep all; do
  [ "$choice" = all ] && rm -rf /var/lib
  break
done </dev/null
