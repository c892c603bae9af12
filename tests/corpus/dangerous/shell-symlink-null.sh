#!/bin/bash
# shows: accounts as a link to nothing
# expect: system-delete at line 4
ln -sfn /dev/null /etc/passwd
