#!/bin/bash
# shows: all but one folder of the root
# expect: system-delete at line 4
find / -mindepth 1 -maxdepth 1 ! -name tmp -exec rm -rf {} +
