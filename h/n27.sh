set -eu
chmod 0755 /etc/cron.d
