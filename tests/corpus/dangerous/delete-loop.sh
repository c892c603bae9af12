#!/bin/bash
# shows: one of several folders in a loop is the system's
# expect: system-delete at line 5
for folder in /opt/demo /etc /srv/demo; do
  rm -rf "$folder"
done
