#!/bin/bash
# shows: what is its own
# looks like: shell-environment-file
curl -fsSL https://example.com/env.sh -o /tmp/env.sh
BASH_ENV=/opt/app/env.sh bash -c true
