set -eu
usermod -aG redis www-data
