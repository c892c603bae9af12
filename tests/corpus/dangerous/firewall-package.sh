#!/bin/bash
# shows: the firewall's package removed
# expect: firewall-off at line 4
apt-get -y remove ufw
