#!/bin/bash
# shows: traced while a token is used
# expect: secret-traced at line 4
set -eux
API_TOKEN=$(cat /run/credentials/token)
printf '%s' "$API_TOKEN" | register-node --token-stdin
