#!/bin/bash
# shows: no program can be run
# expect: system-closed at line 4
chmod -R a-x /usr/bin
