set -eu
apt-get -y install --no-install-recommends thing
