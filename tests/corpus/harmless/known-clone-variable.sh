#!/bin/bash
# shows: what is its own
# looks like: known-clone-variable
place=/opt/tool
git clone -b stable https://example.com/tool "$place"
test -x "$place/bin/setup"
/opt/other/bin/setup
