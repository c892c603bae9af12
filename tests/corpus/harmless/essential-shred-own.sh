#!/bin/bash
# shows: a key of its own
# looks like: essential-shred
shred -u /etc/demo/old.key
