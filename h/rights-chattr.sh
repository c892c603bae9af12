set -eu
chattr +i /etc/app/token
