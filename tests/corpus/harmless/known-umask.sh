#!/bin/bash
# shows: what is its own
# looks like: known-umask
umask 027
touch /opt/app/data
