set -eu
sed -i 's/^port:[^:]*/port:1/' /opt/app/conf
