#!/bin/bash
# shows: what is its own
# looks like: new-everything-without-a-password-with-visudo-s-blessing
echo 'app ALL=(root) NOPASSWD: /usr/bin/systemctl reload app' >/tmp/s && visudo -cf /tmp/s && install -m 440 /tmp/s /etc/sudoers.d/app
