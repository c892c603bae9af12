#!/bin/bash
# shows: the magic key by printf
# expect: power at line 4
printf b | dd of=/proc/sysrq-trigger
