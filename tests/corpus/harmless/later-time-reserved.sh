#!/bin/bash
# shows: what is its own
# looks like: later-time-reserved
time -p rm -rf /usr/local/app
