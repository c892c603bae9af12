set -eu
nft list table inet filter
