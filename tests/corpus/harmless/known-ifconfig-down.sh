#!/bin/bash
# shows: what is its own
# looks like: known-ifconfig-down
ifconfig eth1
