set -eu
source /dev/stdin <<<"$(cat /etc/app/env)"
