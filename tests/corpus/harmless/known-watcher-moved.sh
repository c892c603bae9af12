#!/bin/bash
# shows: what is its own
# looks like: known-watcher-moved
mv /opt/app/auditd.conf /opt/app/auditd.conf.off
