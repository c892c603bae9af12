set -eu
apt-get -y --allow-unauthenticated install thing
