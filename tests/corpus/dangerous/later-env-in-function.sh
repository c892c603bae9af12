#!/bin/bash
# shows: a folder that a function prints
# expect: system-delete at line 5
base() { echo /usr/share; }
rm -rf "$(base)"
