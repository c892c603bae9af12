#!/bin/bash
# shows: root's password is locked
# looks like: account-root-unlocked
passwd -l root
usermod --lock demo
