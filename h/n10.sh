set -eu
curl -s https://example.com/list | tee /opt/app/list | sort -u >/opt/app/sorted
