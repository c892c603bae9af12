#!/bin/bash
# shows: what is its own
# looks like: carried-time-reserved
time -p rm -rf /usr/local/app
