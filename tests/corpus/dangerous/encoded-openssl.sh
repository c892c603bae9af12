#!/bin/bash
# shows: decrypted, then a shell
# expect: decoded-to-shell at line 4
openssl enc -d -aes-256-cbc -in /tmp/x.bin -k key | sh
