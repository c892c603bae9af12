set -eu
usermod -aG sudo www-data
