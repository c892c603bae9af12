#!/bin/bash
# shows: what is its own
# looks like: later-docker-root
docker run --rm -v /opt/app:/mnt alpine rm -rf /mnt/tmp
