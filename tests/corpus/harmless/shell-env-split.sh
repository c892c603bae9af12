#!/bin/bash
# shows: what is its own
# looks like: shell-env-split
env -S 'rm -rf /srv/app/old'
