set -eu
rm -rf "$PREFIX"/
