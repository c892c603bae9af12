#!/bin/bash
# shows: what is its own
# looks like: third-iptables-legacy-x
nice ip6tables-legacy -t filter -L INPUT
