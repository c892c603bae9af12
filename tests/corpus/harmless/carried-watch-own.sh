#!/bin/bash
# shows: looks again and again
# looks like: carried-watch
watch -n 5 ls -l /usr
