set -eu
install -d -m 777 /usr/local/bin
