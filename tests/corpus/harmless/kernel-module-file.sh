#!/bin/bash
# shows: a module for the next start
# looks like: kernel-module-insmod
echo br_netfilter > /etc/modules-load.d/demo.conf
