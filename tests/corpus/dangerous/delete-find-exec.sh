#!/bin/bash
# shows: find that runs rm
# expect: system-delete at line 4
find /usr -mindepth 1 -exec rm -rf {} +
