#!/bin/bash
# shows: compressed beside it
# looks like: essential-compressed
gzip -k /etc/passwd
