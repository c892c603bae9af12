#!/bin/bash
# shows: by the kernel's key, through tee
# expect: power at line 4
echo o | tee /proc/sysrq-trigger
