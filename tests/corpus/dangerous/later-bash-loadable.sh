#!/bin/bash
# shows: rm as a function of the shell
# expect: system-delete at line 5
enable -f /usr/lib/bash/rm rm
rm -rf /opt /srv
