set -eu
find /opt/app -xdev -type f -newer /opt/app/stamp -exec rm -f {} +
