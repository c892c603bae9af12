#!/bin/bash
# shows: what is its own
# looks like: third-wget-exec-combined
if wget -q https://example.com/a.txt -O /tmp/a.txt; then cat /tmp/a.txt; fi
