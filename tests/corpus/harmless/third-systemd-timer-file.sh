#!/bin/bash
# shows: what is its own
# looks like: third-systemd-timer-file
cat >/etc/systemd/system/clean.service <<'END'
[Service]
Type=oneshot
ExecStart=/usr/bin/find /opt/app/tmp -xdev -type f -delete
END
