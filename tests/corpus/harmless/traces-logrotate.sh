#!/bin/bash
# shows: logs are rotated by rule
# looks like: traces-find
cat > /etc/logrotate.d/demo <<'END'
/var/log/demo/*.log {
  weekly
  rotate 4
}
END
