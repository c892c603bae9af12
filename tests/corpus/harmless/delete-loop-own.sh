#!/bin/bash
# shows: folders of its own in a loop
# looks like: delete-loop
for folder in cache logs tmp; do
  rm -rf "/opt/demo/$folder"
done
