#!/bin/bash
# shows: what is its own
# looks like: third-brace-range
for d in /opt/app/part{a..d}; do rm -f "$d"; done
