#!/bin/bash
# shows: what is its own
# looks like: carried-docker-root
docker run --rm -v /opt/app:/mnt alpine rm -rf /mnt/tmp
