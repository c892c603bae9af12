#!/bin/bash
# shows: the magic key
# expect: kernel-setting at line 5
# expect: power at line 5
echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger
