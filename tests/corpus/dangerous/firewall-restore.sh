#!/bin/bash
# shows: an empty set of rules restored
# expect: firewall-off at line 4
iptables-restore < /dev/null
