#!/bin/bash
# shows: what is its own
# looks like: known-gawk-in-place
gawk -i inplace '{ print }' /opt/app/users
