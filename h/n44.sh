set -eu
dpkg --purge app-common
