#!/bin/bash
# shows: mounts are listed
# looks like: mount-remount
mount | grep ' / '
findmnt --json /
mountpoint -q /srv || echo 'not mounted'
