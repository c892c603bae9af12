#!/bin/bash
# shows: a link in the place of a watcher
# expect: audit-off at line 4
ln -sf /bin/true /usr/sbin/auditd
