#!/bin/bash
# shows: a folder given on standard input
# expect: system-delete at line 4
xargs rm -rf <<< /usr
