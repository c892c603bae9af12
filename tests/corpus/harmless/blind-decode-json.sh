#!/bin/bash
# shows: a secret's certificate to a file
# looks like: blind-gzip-payload
jq -r .ca < /opt/demo/ca.json | base64 -d > /etc/demo/ca.pem
