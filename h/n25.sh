set -eu
find /opt/app/log -type f -exec gzip {} \;
