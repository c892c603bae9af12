#!/bin/bash
# shows: a cd into a system folder, then everything in it
# expect: system-delete at line 5
pushd /var/lib
rm -rf ./*
popd
