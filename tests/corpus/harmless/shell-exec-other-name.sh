#!/bin/bash
# shows: what is its own
# looks like: shell-exec-other-name
exec -a cleaner rm -rf /var/cache/app
