#!/bin/bash
# shows: a recursive delete with its options apart and an end of options
# expect: system-delete at line 6
set -eu
target=/
rm -r -f -- "$target"
