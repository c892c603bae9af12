#!/bin/bash
# shows: what is its own
# looks like: later-docker-socket
printf '{"log-driver": "journald"}' >/etc/docker/daemon.json
