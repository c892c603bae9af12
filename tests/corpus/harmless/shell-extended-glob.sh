#!/bin/bash
# shows: what is its own
# looks like: shell-extended-glob
shopt -s extglob
cd /opt/app/releases || exit 1
rm -rf !(current)
