set -eu
perl -MFile::Path=remove_tree -e 'remove_tree("/opt/app/etc")'
