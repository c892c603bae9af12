#!/bin/bash
# shows: the firewall out of the runlevels
# expect: firewall-off at line 4
update-rc.d nftables remove; rm /etc/nftables.conf
