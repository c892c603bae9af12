#!/bin/bash
# shows: what is its own
# looks like: later-logrotate-script
cat >/etc/logrotate.d/app <<'END'
/var/log/app.log {
  postrotate
    rm -rf /var/log/app/old
  endscript
}
END
