set -eu
dir=/usr/lib
rm -rf "${dir%/lib}"
