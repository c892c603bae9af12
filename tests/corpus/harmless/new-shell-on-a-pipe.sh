#!/bin/bash
# shows: what is its own
# looks like: new-shell-on-a-pipe
printf 'PING\r\n' | nc -q1 127.0.0.1 6379 | grep -q PONG
