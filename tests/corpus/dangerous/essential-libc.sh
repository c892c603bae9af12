#!/bin/bash
# shows: the library of every program
# expect: system-delete at line 4
rm -f /lib/x86_64-linux-gnu/libc.so.6
