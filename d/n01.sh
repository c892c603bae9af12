set -eu
cd /usr && rm -rf -- *
