#!/bin/bash
# shows: a library of its own
# looks like: essential-libc
rm -f /usr/lib/x86_64-linux-gnu/libdemo.so.6
