#!/bin/bash
# shows: root may log in
# expect: access-opened at line 4
sed -i 's/#\?PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config
