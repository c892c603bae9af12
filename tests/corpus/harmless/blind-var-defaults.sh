#!/bin/bash
# shows: variables with defaults
# looks like: blind-cleanup-trap-empty
: "${DATA:=/var/lib/demo}"
rm -rf "${DATA:?}/cache"
