#!/bin/bash
# shows: what is its own
# looks like: new-a-shell-for-somebody-else
bash -c 'exec 5<>/dev/tcp/127.0.0.1/6379; echo PING >&5; head -1 <&5'
