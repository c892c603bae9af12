#!/bin/bash
# shows: keys of a service's own account
# looks like: access-authorized-keys
install -d -m 0700 -o demo /var/lib/demo/ssh
ssh-keygen -q -t ed25519 -N '' -f /var/lib/demo/ssh/id_ed25519
