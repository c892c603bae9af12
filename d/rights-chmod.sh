set -eu
chmod -R 000 /etc
