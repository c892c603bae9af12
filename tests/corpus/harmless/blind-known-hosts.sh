#!/bin/bash
# shows: a known host for root
# looks like: blind-ssh-key-curl
mkdir -p /root/.ssh
ssh-keyscan github.com >> /root/.ssh/known_hosts
