#!/bin/bash
# shows: chains deleted through a wrapper
# expect: firewall-off at line 4
nice ip6tables-legacy -t filter -F INPUT
