#!/bin/bash
# shows: what is its own
# looks like: shell-arithmetic-bomb
for ((number = 0; number < 3; number++)); do
  bash /opt/app/worker.sh &
done
wait
