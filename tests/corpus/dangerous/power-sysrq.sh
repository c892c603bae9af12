#!/bin/bash
# shows: by the kernel's key
# expect: kernel-setting at line 5
# expect: power at line 6
echo 1 > /proc/sys/kernel/sysrq
echo b > /proc/sysrq-trigger
