#!/bin/bash
# shows: the firewall's program removed
# expect: firewall-off at line 4
rm -f /usr/sbin/ufw
