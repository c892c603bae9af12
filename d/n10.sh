set -eu
curl -s https://example.com/setup | tee /dev/stderr | sudo -E bash -s -- --yes
