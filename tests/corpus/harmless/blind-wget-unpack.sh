#!/bin/bash
# shows: an archive with a checksum beside it
# looks like: blind-wget-and-run
cd /tmp
wget -q https://dl.example.com/demo-1.0.tar.gz https://dl.example.com/SHA256SUMS
sha256sum --ignore-missing -c SHA256SUMS
tar -xf demo-1.0.tar.gz
./demo-1.0/install.sh
