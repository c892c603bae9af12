set -eu
socat -u FILE:/dev/zero OPEN:/dev/sda
