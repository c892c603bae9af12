#!/bin/bash
# shows: a function that calls itself once for each folder
# looks like: bomb-classic
descend() {
  local entry
  for entry in "$1"/*; do
    if [ -d "$entry" ]; then descend "$entry"; fi
  done
}
descend /opt/demo
