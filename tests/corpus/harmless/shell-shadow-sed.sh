#!/bin/bash
# shows: what is its own
# looks like: shell-shadow-sed
sed -i 's/^user:[^:]*:/user:app:/' /etc/app/users
