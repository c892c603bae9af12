#!/bin/bash
# shows: bash's network device tells whether a port is open
# looks like: net-dev-tcp
timeout 1 bash -c ': < /dev/tcp/127.0.0.1/8080'
