set -eu
while true; do ./worker && break; sleep 1; done
