#!/bin/bash
# shows: its own files given on standard input
# looks like: essential-xargs-here
xargs rm -rf <<< /var/cache/demo
