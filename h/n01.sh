set -eu
cd /opt/app/cache && rm -rf -- *
