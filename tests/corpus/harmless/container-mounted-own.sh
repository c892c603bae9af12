#!/bin/bash
# shows: a folder of the container itself
# looks like: container-mounted
docker run --rm -v /srv/demo:/h alpine rm -rf /usr
