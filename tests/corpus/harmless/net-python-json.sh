#!/bin/bash
# shows: Python reads the answer, the program is constant
# looks like: net-python-pipe
curl -fsS https://api.example.com/v1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])'
