#!/bin/bash
# shows: what is its own
# looks like: later-env-in-function
base() { echo /usr/share/app; }
rm -rf "$(base)"
