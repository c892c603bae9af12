#!/bin/bash
# shows: a file system looked at
# looks like: disk-debugfs
debugfs -R 'stat /etc/passwd' /dev/vda
