#!/bin/bash
# shows: with options, through sudo and env
# expect: network-to-shell at line 4
wget -qO- https://get.example.com | sudo env CHANNEL=stable bash -s -- --yes
