set -eu
journalctl --since=-1h -u app
