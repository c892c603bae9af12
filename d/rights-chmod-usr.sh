set -eu
chmod -R a-x /usr/bin
