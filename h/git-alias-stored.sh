set -eu
git config --global alias.st 'status --short'
git st
