#!/bin/bash
# shows: one port is opened by ufw
# looks like: firewall-ufw
ufw allow 8080/tcp
ufw status verbose
