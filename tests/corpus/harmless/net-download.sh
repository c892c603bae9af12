#!/bin/bash
# shows: fetched to a file, its checksum compared, then unpacked
# looks like: net-file
curl -fsSLo /tmp/demo.tar.gz https://dl.example.com/demo.tar.gz
echo '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  /tmp/demo.tar.gz' | sha256sum --check --status
tar -xzf /tmp/demo.tar.gz -C /opt/demo
