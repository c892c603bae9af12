set -eu
rm -rf /${TARGET_DIR:-}
