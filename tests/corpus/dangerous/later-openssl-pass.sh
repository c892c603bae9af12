#!/bin/bash
# shows: a secret as an option
# expect: secret-argument at line 4
openssl enc -aes-256-cbc -in /opt/a -out /opt/b -pass "pass:$DB_PASSWORD"
