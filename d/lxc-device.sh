set -eu
lxc config device add box disk disk source=/ path=/host
lxc exec box -- rm -rf /host/etc
