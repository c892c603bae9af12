set -eu
unlink /etc/app/link
