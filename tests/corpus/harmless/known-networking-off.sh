#!/bin/bash
# shows: what is its own
# looks like: known-networking-off
nmcli networking
