#!/bin/bash
# shows: what is its own
# looks like: new-fetched-text-read-by-source
source /dev/stdin <<<"$(cat /etc/app/env)"
