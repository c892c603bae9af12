#!/bin/bash
# shows: what is its own
# looks like: new-enforcing-off-by-its-file
cat /sys/fs/selinux/enforce || true
