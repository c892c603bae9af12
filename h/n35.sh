set -eu
docker run -v /opt/app:/m alpine sh -c 'rm -rf /m/etc'
