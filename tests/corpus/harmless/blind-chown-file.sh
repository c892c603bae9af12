#!/bin/bash
# shows: one file
# looks like: blind-chown-colon
chown root:demo /etc/demo/demo.conf
