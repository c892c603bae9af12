#!/bin/bash
# shows: one user may write
# looks like: open-acl
setfacl -R -m u:demo:rwx /etc/demo
