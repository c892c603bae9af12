#!/bin/bash
# shows: what is its own
# looks like: shell-suffix-removed
file=/opt/app/conf/app.conf
rm -rf "${file%/*}"
