#!/bin/bash
# shows: what is its own
# looks like: shell-gpasswd
gpasswd -a www-data app
