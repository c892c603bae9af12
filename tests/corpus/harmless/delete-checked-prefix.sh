#!/bin/bash
# shows: stops when the variable is empty
# looks like: delete-maybe-empty-prefix
PREFIX="$1"
rm -rf "${PREFIX:?}/"
