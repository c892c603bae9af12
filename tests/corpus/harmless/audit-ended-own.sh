#!/bin/bash
# shows: a daemon of its own ended
# looks like: audit-ended
pkill -HUP -x rsyslogd
pkill -x demod
