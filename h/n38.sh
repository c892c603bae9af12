set -eu
: >/opt/app/shadow
