#!/bin/bash
# shows: a prefix that is never set when the first argument is missing
# expect: delete-maybe-empty at line 5
PREFIX="$1"
rm -rf "$PREFIX/"
