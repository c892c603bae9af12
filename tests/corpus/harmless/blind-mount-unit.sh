#!/bin/bash
# shows: a mount unit as a file
# looks like: blind-mount-bind
cat > /etc/systemd/system/srv-demo.mount <<'END'
[Mount]
What=/dev/disk/by-label/demo
Where=/srv/demo
END
