set -eu
systemd-run --on-active=1 reboot
