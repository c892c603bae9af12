#!/bin/bash
# shows: decoded into eval
# expect: decoded-to-shell at line 5
payload=cm0gLXJmIC8=
eval "$(base64 -d <<< "$payload")"
