#!/bin/bash
# shows: accounts of the system, one file
# expect: system-delete at line 4
rm /etc/passwd
