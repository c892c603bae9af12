#!/bin/bash
# shows: what is its own
# looks like: new-an-empty-folder-copied-over-the-configuration
rsync -a --delete ./site/ /var/www/app/
