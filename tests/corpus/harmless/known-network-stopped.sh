#!/bin/bash
# shows: what is its own
# looks like: known-network-stopped
systemctl restart systemd-networkd.service
