#!/bin/bash
# shows: what is its own
# looks like: shell-substring
text=/opt/app/tmp/doc
rm -rf "${text:0:12}"
