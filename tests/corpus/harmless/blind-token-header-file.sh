#!/bin/bash
# shows: a token from a file that curl reads
# looks like: blind-secret-curl-verbose
umask 077
printf 'header = "Authorization: Bearer %s"\n' "$API_TOKEN" > /run/demo/curlrc
curl -fsS -K /run/demo/curlrc https://api.example.com/
