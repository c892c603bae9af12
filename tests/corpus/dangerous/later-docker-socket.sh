#!/bin/bash
# shows: the engine open on a port
# expect: access-opened at line 4
printf '{"hosts": ["tcp://0.0.0.0:2375"]}' >/etc/docker/daemon.json
