#!/bin/bash
# shows: a setting of the running kernel
# expect: kernel-setting at line 4
sysctl -w kernel.randomize_va_space=0
