#!/bin/bash
# shows: what is its own
# looks like: later-select-menu
select choice in keep all; do
  [ "$choice" = all ] && rm -rf /var/lib/app
  break
done </dev/null
