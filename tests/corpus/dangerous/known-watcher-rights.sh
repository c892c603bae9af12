#!/bin/bash
# shows: a watcher's program that cannot run
# expect: audit-off at line 4
chmod a-x /usr/sbin/rsyslogd
