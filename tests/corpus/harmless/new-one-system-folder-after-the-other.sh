#!/bin/bash
# shows: what is its own
# looks like: new-one-system-folder-after-the-other
for d in bin sbin lib; do rm -rf "/opt/app/$d"; done
