#!/bin/bash
# shows: a random identifier
# looks like: encoded-xxd
id=$(head -c 8 /dev/urandom | xxd -p)
echo "$id" > /var/lib/demo/id
