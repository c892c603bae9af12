#!/bin/bash
# shows: the folder is the root if a variable is empty
# expect: system-owner at line 4
chown -R deploy "$DESTDIR/"
