#!/bin/bash
# shows: everything in a system folder, from within
# expect: system-delete at line 4
cd /usr && rm -rf -- *
