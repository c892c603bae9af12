#!/bin/bash
# shows: a clean-up function with a folder that was never made
# expect: delete-maybe-empty at line 5
cleanup() {
  rm -rf "$WORKDIR"/*
}
trap cleanup EXIT
make install
