#!/bin/bash
# shows: one file by its system call
# expect: system-delete at line 4
unlink /etc/passwd
