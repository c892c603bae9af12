set -eu
pkill -9 -u app worker
