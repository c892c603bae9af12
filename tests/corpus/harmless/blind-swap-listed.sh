#!/bin/bash
# shows: swap is listed
# looks like: blind-mkswap
swapon --show
free -m
