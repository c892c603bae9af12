#!/bin/bash
# shows: what is its own
# looks like: new-another-folder-bound-over-the-configuration
install -d /opt/app/mnt
