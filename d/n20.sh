set -eu
update-rc.d nftables remove; rm /etc/nftables.conf
