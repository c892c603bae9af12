#!/bin/bash
# shows: a cd into a new folder
# looks like: delete-cd-substitution
work=$(mktemp -d)
pushd "$work" >/dev/null
rm -rf ./*
popd >/dev/null
rm -rf "$work"
