#!/bin/bash
# shows: SELinux off by its own file
# expect: kernel-setting at line 4
echo 0 > /sys/fs/selinux/enforce
