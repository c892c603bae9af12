#!/bin/bash
# shows: what is its own
# looks like: known-routes-flushed
ip route flush cache
