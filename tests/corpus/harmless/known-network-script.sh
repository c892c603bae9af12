#!/bin/bash
# shows: what is its own
# looks like: known-network-script
/etc/init.d/networking reload
