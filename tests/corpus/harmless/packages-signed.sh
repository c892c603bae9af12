#!/bin/bash
# shows: a signed package source
# looks like: packages-trusted
echo 'deb [signed-by=/usr/share/keyrings/demo.gpg] https://apt.example.com stable main' > /etc/apt/sources.list.d/demo.list
apt-get update
apt-get install -y --no-install-recommends demo
