#!/bin/bash
# shows: a package list for apt
# looks like: blind-xargs-shell
printf '%s\n' curl jq | xargs apt-get install -y --no-install-recommends
