#!/bin/bash
# shows: everything without a password
# expect: access-opened at line 5
# expect: sudoers-unchecked at line 5
echo 'deploy ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers
