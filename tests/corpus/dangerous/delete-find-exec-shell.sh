#!/bin/bash
# shows: find that runs a shell that runs rm
# expect: system-delete at line 4
find /var/lib -exec sh -c 'rm -rf "$1"' _ {} \;
