#!/bin/bash
# shows: what is its own
# looks like: shell-install-dev-null
install -m 600 /dev/null /etc/app/secret
