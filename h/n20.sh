set -eu
update-rc.d app defaults; rm -f /etc/app/old.conf
