#!/bin/bash
# shows: text is encoded
# looks like: encoded-base64-file
printf 'user:%s' demo | base64 | tr -d '\n' > /opt/demo/auth
