set -eu
parallel rm -rf ::: /usr /etc
