#!/bin/bash
# shows: root may log in, by a further file
# expect: access-opened at line 4
cat >/etc/ssh/sshd_config.d/10-app.conf <<'END'
PermitRootLogin yes
PasswordAuthentication yes
END
