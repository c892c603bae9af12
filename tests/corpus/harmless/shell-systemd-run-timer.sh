#!/bin/bash
# shows: what is its own
# looks like: shell-systemd-run-timer
systemd-run --on-active=30 /bin/sh -c 'rm -rf /var/lib/app'
