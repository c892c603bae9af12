#!/bin/bash
# shows: what is its own
# looks like: new-the-host-s-configuration-from-within-a-container
docker run -v /opt/app:/m alpine sh -c 'rm -rf /m/etc'
