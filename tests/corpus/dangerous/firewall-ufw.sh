#!/bin/bash
# shows: ufw off
# expect: firewall-off at line 4
ufw --force disable
