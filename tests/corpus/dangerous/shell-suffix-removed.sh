#!/bin/bash
# shows: the parent of a parent
# expect: system-delete at line 5
file=/etc/app/app.conf
rm -rf "${file%/*/*}"
