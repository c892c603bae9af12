#!/bin/bash
# shows: a delete whose time is taken
# expect: system-delete at line 4
time -p rm -rf /usr/local
