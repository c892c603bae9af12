#!/bin/bash
# shows: what is its own
# looks like: third-cp-empty
: >/tmp/empty
cp /tmp/empty /etc/app/state
