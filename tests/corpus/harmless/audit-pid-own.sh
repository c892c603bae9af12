#!/bin/bash
# shows: a daemon reads its settings again
# looks like: audit-pid
kill -HUP "$(pidof rsyslogd)"
