#!/bin/bash
# shows: the classic of an installer: a typing error in the variable's name
# expect: delete-maybe-empty at line 6
STEAMROOT="$(cd "${0%/*}" && echo "$PWD")"
echo "resetting $STEAMROOT"
rm -rf "$STEAMROT/"*
