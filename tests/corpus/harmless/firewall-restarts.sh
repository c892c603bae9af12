#!/bin/bash
# shows: the firewall is restarted
# looks like: firewall-service
systemctl reload-or-restart nftables.service
