#!/bin/bash
# shows: a key for its owner
# looks like: blind-chmod-recursive-var
for key in /etc/demo/*.key; do chmod 600 "$key"; done
