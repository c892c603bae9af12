set -eu
export HISTTIMEFORMAT=%F
ln -sf /opt/app/rc ~/.apprc
