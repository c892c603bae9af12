#!/bin/bash
# shows: a cd into a folder of its own
# looks like: delete-cd-unchecked
cd /opt/demo || exit 1
rm -rf bin lib
