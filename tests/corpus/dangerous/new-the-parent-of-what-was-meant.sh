#!/bin/bash
# shows: the parent of what was meant
# expect: system-delete at line 5
dir=/usr/lib
rm -rf "${dir%/lib}"
