#!/bin/bash
# shows: what is its own
# looks like: known-hosts-emptied
: >/etc/hosts
echo '127.0.0.1 localhost' >>/etc/hosts
