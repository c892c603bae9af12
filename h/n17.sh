set -eu
pv /opt/app/image > /opt/app/copy
