set -eu
busybox rm -fr /lib
