#!/bin/bash
# shows: rules of both families are listed
# looks like: blind-ip6-loop
for tool in iptables ip6tables; do "$tool" -S; done
