#!/bin/bash
# shows: the accounts unlinked
# expect: system-delete at line 4
unlink /etc/passwd
