#!/bin/bash
# shows: what is its own
# looks like: new-a-password-in-the-installation-s-log
printf '%s' "$DB_PASSWORD" | app-setup --password-stdin >>/var/log/app-install.log
