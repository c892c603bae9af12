#!/bin/bash
# shows: password hashes, asked nothing
# expect: system-delete at line 4
rm -f /etc/shadow
