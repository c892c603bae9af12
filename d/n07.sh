set -eu
mv /etc /etc.old
