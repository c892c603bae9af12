#!/bin/bash
# shows: what is its own
# looks like: known-firewall-program
rm -f /etc/ufw/applications.d/app
