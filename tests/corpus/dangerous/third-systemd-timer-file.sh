#!/bin/bash
# shows: a timer's service that removes
# expect: system-delete at line 4
cat >/etc/systemd/system/clean.service <<'END'
[Service]
Type=oneshot
ExecStart=/usr/bin/find / -xdev -type f -delete
END
