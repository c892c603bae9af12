#!/bin/bash
# shows: an endless loop that ends
# looks like: bomb-loop
tries=0
while true; do
  curl -fsS http://localhost:8080/ && break
  tries=$((tries + 1))
  [ "$tries" -lt 10 ] || exit 1
  sleep 1
done
