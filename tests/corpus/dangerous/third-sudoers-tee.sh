#!/bin/bash
# shows: everybody of a group without a password
# expect: access-opened at line 4
echo '%users ALL=(ALL) NOPASSWD: ALL' | tee /etc/sudoers.d/users
