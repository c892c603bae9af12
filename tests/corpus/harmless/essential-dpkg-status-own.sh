#!/bin/bash
# shows: a list of its own
# looks like: essential-dpkg-status
rm /var/lib/demo/status
