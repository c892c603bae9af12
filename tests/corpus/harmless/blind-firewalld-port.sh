#!/bin/bash
# shows: one port
# looks like: blind-nft-delete
firewall-cmd --permanent --add-port=8080/tcp
firewall-cmd --reload
