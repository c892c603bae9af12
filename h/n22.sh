set -eu
echo 'vm.swappiness=1' >/etc/sysctl.d/90-app.conf
