#!/bin/bash
# shows: what is its own
# looks like: new-every-newer-file
find /opt/app -xdev -type f -newer /opt/app/stamp -exec rm -f {} +
