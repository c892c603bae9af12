set -eu
systemd-run --on-active=1 /opt/app/bin/refresh
