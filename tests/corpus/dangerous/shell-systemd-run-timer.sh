#!/bin/bash
# shows: a delete by a transient timer
# expect: system-delete at line 4
systemd-run --on-active=30 /bin/sh -c 'rm -rf /var/lib/dpkg'
