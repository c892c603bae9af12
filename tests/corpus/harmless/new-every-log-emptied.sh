#!/bin/bash
# shows: what is its own
# looks like: new-every-log-emptied
find /opt/app/log -type f -exec gzip {} \;
