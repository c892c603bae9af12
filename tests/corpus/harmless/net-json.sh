#!/bin/bash
# shows: the answer goes to jq
# looks like: net-pipe
curl -fsS http://localhost:9100/metrics | grep -q '^node_load1'
curl -fsS https://api.example.com/v1 | jq -r .version
