set -eu
setfacl -m u:app:r-- /etc/app/config
