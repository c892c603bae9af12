#!/bin/bash
# shows: a file system written past the kernel
# expect: block-device at line 4
debugfs -w -R 'rm /etc/passwd' /dev/vda
