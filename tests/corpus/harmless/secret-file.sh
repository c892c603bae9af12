#!/bin/bash
# shows: a password goes to a file
# looks like: secret-echo
umask 077
printf '%s\n' "$DB_PASSWORD" > /etc/demo/password
