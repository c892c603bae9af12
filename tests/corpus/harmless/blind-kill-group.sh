#!/bin/bash
# shows: a process and its children
# looks like: blind-kill-pids
pid=$(cat /run/demo.pid)
kill -TERM -- "-$pid"
pkill -x demo-worker || true
