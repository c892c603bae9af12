#!/bin/bash
# shows: everything in a folder entered by pushd
# expect: system-delete at line 5
pushd /etc >/dev/null || exit 1
rm -rf -- ./*
popd >/dev/null || exit 1
