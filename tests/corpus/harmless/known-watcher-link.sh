#!/bin/bash
# shows: what is its own
# looks like: known-watcher-link
ln -sf /bin/true /usr/local/bin/app-check
