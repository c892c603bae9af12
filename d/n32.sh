set -eu
trap 'rm -rf /opt /usr' EXIT
