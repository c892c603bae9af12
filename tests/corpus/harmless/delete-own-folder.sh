#!/bin/bash
# shows: one program's folder, options apart
# looks like: delete-root-split-options
set -eu
target=/opt/demo
rm -r -f -- "$target"
