#!/bin/bash
# shows: the words stand in a text
# looks like: delete-quoting-tricks
echo "never run rm -rf / on a machine that you need"
