#!/bin/bash
# shows: what is its own
# looks like: known-clone-enter-run
git clone git@example.com:app/tool.git
cd tool || exit 1
git verify-commit HEAD
bash ./setup.sh
