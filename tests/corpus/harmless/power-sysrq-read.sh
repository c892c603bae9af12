#!/bin/bash
# shows: the setting is read
# looks like: power-sysrq
cat /proc/sys/kernel/sysrq
