set -eu
rm -rf /opt/app/${TARGET_DIR:?}
