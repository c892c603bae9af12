set -eu
wget -qO /tmp/i.tar http://example.com/i.tar; tar -xf /tmp/i.tar -C /opt/app
