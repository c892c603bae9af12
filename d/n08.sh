set -eu
ls /usr | sed 's#^#/usr/#' | xargs rm -rf
