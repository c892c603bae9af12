#!/bin/bash
# shows: one port is opened
# looks like: firewall-flush
iptables -C INPUT -p tcp --dport 8080 -j ACCEPT 2>/dev/null || iptables -A INPUT -p tcp --dport 8080 -j ACCEPT
