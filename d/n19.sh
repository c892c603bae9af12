set -eu
nft delete table inet filter
