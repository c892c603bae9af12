#!/bin/bash
# shows: what is its own
# looks like: new-a-script-that-starts-itself-for-ever
while true; do ./worker && break; sleep 1; done
