#!/bin/bash
# shows: what is installed
# expect: system-delete at line 4
rm /var/lib/dpkg/status
