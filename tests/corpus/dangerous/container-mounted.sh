#!/bin/bash
# shows: the host's root in a container
# expect: system-delete at line 4
docker run --rm -v /:/h alpine rm -rf /h/usr
