#!/bin/bash
# shows: what is its own
# looks like: shell-kexec
test -e /boot/vmlinuz
echo 'kexec -e'
