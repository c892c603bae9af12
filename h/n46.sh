set -eu
install -d /opt/app/mnt
