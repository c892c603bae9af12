#!/bin/bash
# shows: one table flushed, with options before
# expect: firewall-off at line 4
iptables -w -t filter --flush INPUT
