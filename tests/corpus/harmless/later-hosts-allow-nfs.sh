#!/bin/bash
# shows: what is its own
# looks like: later-hosts-allow-nfs
echo '/srv/app 192.0.2.7(ro)' >>/etc/exports
