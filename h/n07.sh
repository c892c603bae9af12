set -eu
mv /etc/app /etc/app.old
