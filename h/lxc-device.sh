set -eu
lxc config device add box data disk source=/srv/data path=/data
