#!/bin/bash
# shows: root may not log in
# looks like: access-sshd
printf 'PermitRootLogin no\nPasswordAuthentication no\n' > /etc/ssh/sshd_config.d/90-demo.conf
