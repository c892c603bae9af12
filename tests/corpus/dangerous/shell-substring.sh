#!/bin/bash
# shows: a folder cut out of a longer text
# expect: system-delete at line 5
text=/usr/share/doc
rm -rf "${text:0:4}"
