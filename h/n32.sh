set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
