set -eu
chmod -R 750 /opt/app
chmod 000 /opt/app/unused
