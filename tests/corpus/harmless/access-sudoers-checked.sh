#!/bin/bash
# shows: one command for one account, checked before it is in place
# looks like: access-sudoers-unchecked
tmp=$(mktemp)
echo 'demo ALL=(root) NOPASSWD: /usr/bin/systemctl restart demo' > "$tmp"
visudo -cf "$tmp"
install -m 0440 "$tmp" /etc/sudoers.d/demo
