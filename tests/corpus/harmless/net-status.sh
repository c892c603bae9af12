#!/bin/bash
# shows: the answer is only compared
# looks like: net-eval-variable
status=$(curl -s -o /dev/null -w '%{http_code}' http://localhost:8080/health)
[ "$status" = 200 ]
