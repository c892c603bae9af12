set -eu
cat /sys/fs/selinux/enforce || true
