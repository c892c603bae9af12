set -eu
pkill -9 -u root
