#!/bin/bash
# shows: SELinux off from the next start
# expect: audit-off at line 4
sed -i 's/^SELINUX=.*/SELINUX=disabled/' /etc/selinux/config
