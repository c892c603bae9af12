set -eu
mount -o bind /tmp /etc
