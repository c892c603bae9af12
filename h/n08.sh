set -eu
ls /opt/app/old | sed 's#^#/opt/app/old/#' | xargs rm -rf
