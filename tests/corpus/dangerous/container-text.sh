#!/bin/bash
# shows: the host's folder in a container's shell
# expect: system-delete at line 4
podman run --mount type=bind,src=/etc,dst=/mnt alpine sh -c 'cd /; rm -rf /mnt'
