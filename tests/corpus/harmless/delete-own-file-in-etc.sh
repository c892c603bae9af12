#!/bin/bash
# shows: a file of its own below /etc
# looks like: delete-etc-long-options
rm --recursive --force /etc/demo.d
