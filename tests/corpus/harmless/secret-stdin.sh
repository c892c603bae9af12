#!/bin/bash
# shows: a token on standard input
# looks like: secret-trace
set -eu
printf '%s' "$API_TOKEN" | register-node --token-stdin
