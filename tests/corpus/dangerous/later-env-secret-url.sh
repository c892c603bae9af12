#!/bin/bash
# shows: a secret in an address
# expect: secret-argument at line 4
curl -fsS "https://user:$API_TOKEN@example.com/x" -o /opt/app/x
