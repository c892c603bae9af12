#!/bin/bash
# shows: what is its own
# looks like: carried-docker-socket
printf '{"log-driver": "journald"}' >/etc/docker/daemon.json
