#!/bin/bash
# shows: what is its own
# looks like: shell-array-prefix
names=(one two)
rm -rf "${names[@]/#/\/opt\/app\/}"
