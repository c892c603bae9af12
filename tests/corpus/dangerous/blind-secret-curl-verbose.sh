#!/bin/bash
# shows: a token in an address
# expect: secret-argument at line 4
curl -fsS "https://api.example.com/?token=${API_TOKEN}"
