#!/bin/bash
# shows: traces over a secret
# expect: secret-traced at line 4
set -o xtrace
curl -H "Authorization: $API_TOKEN" https://example.com >/dev/null
