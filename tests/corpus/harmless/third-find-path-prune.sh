#!/bin/bash
# shows: what is its own
# looks like: third-find-path-prune
find /opt/app -mindepth 1 -maxdepth 1 ! -name tmp -exec rm -rf {} +
