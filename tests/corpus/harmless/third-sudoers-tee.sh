#!/bin/bash
# shows: what is its own
# looks like: third-sudoers-tee
echo 'users' | tee /etc/app/groups
