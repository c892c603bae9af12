#!/bin/bash
# shows: what is its own
# looks like: new-a-delete-at-the-end
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
