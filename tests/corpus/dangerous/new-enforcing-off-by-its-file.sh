#!/bin/bash
# shows: enforcing off, by its file
# expect: kernel-setting at line 4
echo 0 | tee /sys/fs/selinux/enforce
