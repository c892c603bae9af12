set -eu
wget -qO /tmp/i.sh http://example.com/i.sh; chmod +x /tmp/i.sh; /tmp/i.sh
