#!/bin/bash
# shows: a data file of its own is emptied
# looks like: essential-truncate
truncate -s 0 /var/lib/demo/queue
