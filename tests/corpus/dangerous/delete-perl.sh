#!/bin/bash
# shows: a short Perl program
# expect: system-delete at line 4
perl -MFile::Path -e 'File::Path::rmtree("/usr/lib")'
