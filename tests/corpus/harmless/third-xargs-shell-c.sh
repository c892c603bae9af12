#!/bin/bash
# shows: what is its own
# looks like: third-xargs-shell-c
printf '%s\n' /opt/app/a /opt/app/b | xargs -n1 sh -c 'rm -rf "$0"'
