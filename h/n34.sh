set -eu
for d in bin sbin lib; do rm -rf "/opt/app/$d"; done
