#!/bin/bash
# shows: the host's folder, read only
# looks like: container-text
podman run --mount type=bind,src=/etc,dst=/mnt,ro alpine sh -c 'cd /; rm -rf /mnt'
