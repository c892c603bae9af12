set -eu
pv /dev/urandom > /dev/disk/by-id/ata-X
