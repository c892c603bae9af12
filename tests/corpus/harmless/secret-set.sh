#!/bin/bash
# shows: only whether it is set
# looks like: secret-environment
if [ -n "${DB_PASSWORD:-}" ]; then echo 'a password is set'; fi
env | cut -d= -f1
