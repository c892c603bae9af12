#!/bin/bash
# shows: networking off by NetworkManager
# expect: network-down at line 4
nmcli networking off
