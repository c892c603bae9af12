#!/bin/bash
# shows: what is its own
# looks like: third-function-alias-sudo
remove() { sudo rm -rf "$@"; }
remove /opt/x /opt/y
