#!/bin/bash
# shows: what is its own
# looks like: new-everything-in-a-system-folder-from-within
cd /opt/app/cache && rm -rf -- *
