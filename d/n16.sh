set -eu
cp /dev/zero /dev/nvme0n1
