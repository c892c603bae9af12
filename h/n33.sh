set -eu
dir=/opt/app/lib
rm -rf "${dir%/lib}/cache"
