#!/bin/bash
# shows: files of its own, by Perl
# looks like: essential-perl-glob
perl -e 'unlink glob "/etc/demo/*.tmp"'
