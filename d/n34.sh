set -eu
for d in bin sbin lib; do rm -rf "/usr/$d"; done
