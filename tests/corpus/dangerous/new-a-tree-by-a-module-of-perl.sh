#!/bin/bash
# shows: a tree, by a module of Perl
# expect: system-delete at line 4
perl -MFile::Path=remove_tree -e 'remove_tree("/etc")'
