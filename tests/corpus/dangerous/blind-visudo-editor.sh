#!/bin/bash
# shows: sudoers by sed
# expect: access-opened at line 5
# expect: sudoers-unchecked at line 5
sed -i '$a app ALL=(ALL) NOPASSWD: ALL' /etc/sudoers
