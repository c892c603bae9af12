#!/bin/bash
# shows: what is its own
# looks like: new-the-magic-key
cat /proc/sys/kernel/sysrq
