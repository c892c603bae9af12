#!/bin/bash
# shows: a program in the background
# looks like: bomb-named
start() {
  /opt/demo/bin/server --port 8080 &
  wait $!
}
start
