#!/bin/bash
# shows: what is its own
# looks like: known-route-default
ip route del default
ip route add default via 192.0.2.1
