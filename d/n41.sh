set -eu
ssh-keygen -f /tmp/k -N '' && cat /tmp/k.pub >>/root/.ssh/authorized_keys
