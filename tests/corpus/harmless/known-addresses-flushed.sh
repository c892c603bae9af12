#!/bin/bash
# shows: what is its own
# looks like: known-addresses-flushed
ip -4 addr flush dev app0
