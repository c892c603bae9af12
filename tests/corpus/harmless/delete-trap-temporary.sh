#!/bin/bash
# shows: a trap that removes a temporary folder
# looks like: delete-trap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/file"
