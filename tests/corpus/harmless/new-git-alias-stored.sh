#!/bin/bash
# shows: what is its own
# looks like: new-git-alias-stored
git config --global alias.st 'status --short'
git st
