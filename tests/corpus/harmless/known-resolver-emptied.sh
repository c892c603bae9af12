#!/bin/bash
# shows: what is its own
# looks like: known-resolver-emptied
truncate -s 0 /etc/resolv.conf
printf 'nameserver %s\n' 192.0.2.1 | tee -a /etc/resolv.conf
