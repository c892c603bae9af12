#!/bin/bash
# shows: a setting is read
# looks like: kernel-sysctl
sysctl -n net.core.somaxconn
