#!/bin/bash
# shows: a watcher's program moved aside
# expect: audit-off at line 4
mv /sbin/auditd /sbin/auditd.off
