#!/bin/bash
# shows: what is its own
# looks like: new-the-firewall-out-of-the-runlevels
update-rc.d app defaults; rm -f /etc/app/old.conf
