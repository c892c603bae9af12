#!/bin/bash
# shows: a relative delete after a cd to the root
# expect: system-delete at line 5
cd /
rm -rf bin boot
