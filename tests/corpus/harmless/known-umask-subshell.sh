#!/bin/bash
# shows: what is its own
# looks like: known-umask-subshell
(umask 000 && mkdir -p /opt/app/shared)
