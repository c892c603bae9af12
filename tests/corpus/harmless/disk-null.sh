#!/bin/bash
# shows: output that nobody needs
# looks like: disk-redirect
systemctl is-enabled demo >/dev/null 2>&1 || true
