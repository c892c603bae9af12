#!/bin/bash
# shows: an empty file of its own
# looks like: essential-null-copied
cp /dev/null /etc/demo/empty
