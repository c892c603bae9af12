#!/bin/bash
# shows: fetched text given to a shell in a process substitution
# expect: network-to-shell at line 4
curl -fsSL https://example.com/setup.sh -o >(bash)
