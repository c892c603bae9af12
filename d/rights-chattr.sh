set -eu
chattr -R +i /etc
