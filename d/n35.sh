set -eu
docker run --privileged -v /:/m alpine sh -c 'rm -rf /m/etc'
