#!/bin/bash
# shows: a rule that removes a folder at boot
# expect: system-delete at line 4
echo 'R /usr/lib - - - - -' >/etc/tmpfiles.d/app.conf
