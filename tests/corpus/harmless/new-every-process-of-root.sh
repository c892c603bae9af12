#!/bin/bash
# shows: what is its own
# looks like: new-every-process-of-root
pkill -9 -u app worker
