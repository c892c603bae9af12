set -eu
source /dev/stdin <<<"$(wget -O- http://example.com/env)"
