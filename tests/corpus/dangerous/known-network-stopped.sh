#!/bin/bash
# shows: what manages the network stopped
# expect: network-down at line 4
systemctl stop systemd-networkd.service
