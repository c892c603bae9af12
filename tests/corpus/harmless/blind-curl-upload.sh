#!/bin/bash
# shows: a file is sent
# looks like: blind-curl-var-pipe
curl -fsS -X PUT --data-binary @/etc/demo/rules.json http://localhost:9090/api/rules
