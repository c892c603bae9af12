#!/bin/bash
# shows: rm remembered under another name
# expect: system-delete at line 5
hash -p /bin/rm tidy
tidy -rf /opt
