#!/bin/bash
# shows: somebody else owns the passwords
# expect: system-owner at line 4
chown nobody /etc/shadow
