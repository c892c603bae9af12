#!/bin/bash
# shows: an account of its own
# looks like: account-removed
getent passwd demo >/dev/null || useradd --system --home-dir /var/lib/demo --shell /usr/sbin/nologin demo
