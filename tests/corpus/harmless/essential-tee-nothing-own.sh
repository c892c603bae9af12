#!/bin/bash
# shows: a line piped over it
# looks like: essential-tee-nothing
printf 'hosts: files dns\n' | tee /etc/nsswitch.conf
