#!/bin/bash
# shows: what is its own
# looks like: shell-pushd
pushd /opt/app/tmp >/dev/null || exit 1
rm -rf -- ./*
popd >/dev/null || exit 1
