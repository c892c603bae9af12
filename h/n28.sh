set -eu
install -d -m 755 /usr/local/lib/app
