set -eu
cp /dev/null /opt/app/empty
