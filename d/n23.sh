set -eu
journalctl --rotate --vacuum-time=1s
