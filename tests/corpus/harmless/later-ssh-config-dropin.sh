#!/bin/bash
# shows: what is its own
# looks like: later-ssh-config-dropin
cat >/etc/ssh/sshd_config.d/10-app.conf <<'END'
PermitRootLogin prohibit-password
PasswordAuthentication no
END
