set -eu
busybox rm -fr /opt/app/lib
