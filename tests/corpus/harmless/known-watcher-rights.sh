#!/bin/bash
# shows: what is its own
# looks like: known-watcher-rights
chmod a-x /opt/app/rsyslogd.sample
