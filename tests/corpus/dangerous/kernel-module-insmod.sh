#!/bin/bash
# shows: a module from a file
# expect: kernel-module at line 4
/sbin/insmod ./rootkit.ko
