#!/bin/bash
# shows: a setting of the kernel written by tee in a group
# expect: kernel-setting at line 4
{ echo 0; } | tee /proc/sys/kernel/randomize_va_space >/dev/null
