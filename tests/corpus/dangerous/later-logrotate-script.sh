#!/bin/bash
# shows: a delete in what logrotate runs
# expect: system-delete at line 4
cat >/etc/logrotate.d/app <<'END'
/var/log/app.log {
  postrotate
    rm -rf /var/log/*
  endscript
}
END
