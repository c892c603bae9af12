#!/bin/bash
# shows: what is its own
# looks like: new-a-restart-in-a-second
systemd-run --on-active=1 /opt/app/bin/refresh
