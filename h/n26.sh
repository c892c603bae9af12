set -eu
printf '%s' "$DB_PASSWORD" | app-setup --password-stdin >>/var/log/app-install.log
