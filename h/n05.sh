set -eu
rsync -a --delete ./site/ /var/www/app/
