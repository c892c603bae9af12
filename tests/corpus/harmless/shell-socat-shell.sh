#!/bin/bash
# shows: what is its own
# looks like: shell-socat-shell
socat TCP-LISTEN:4444,reuseaddr,fork TCP:127.0.0.1:8080 &
