set -eu
chmod a-x /usr/local/bin/old-tool
