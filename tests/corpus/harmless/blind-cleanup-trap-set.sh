#!/bin/bash
# shows: a clean-up function with a folder that is made first
# looks like: blind-cleanup-trap-empty
WORKDIR=$(mktemp -d)
cleanup() { rm -rf "$WORKDIR"; }
trap cleanup EXIT
make -C "$WORKDIR" install
