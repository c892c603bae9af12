#!/bin/bash
# shows: another kernel started at once
# expect: power at line 5
kexec -l /boot/vmlinuz --reuse-cmdline
kexec -e
