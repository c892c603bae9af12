#!/bin/bash
# shows: the folder in an array
# expect: world-writable at line 6
folders=(/etc /opt/demo)
for folder in "${folders[@]}"; do
  chmod -R ugo+rwX "$folder"
done
