#!/bin/bash
# shows: what is its own
# looks like: new-a-tree-by-a-module-of-perl
perl -MFile::Path=remove_tree -e 'remove_tree("/opt/app/etc")'
