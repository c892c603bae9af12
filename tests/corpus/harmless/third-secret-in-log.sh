#!/bin/bash
# shows: what is its own
# looks like: third-secret-in-log
logger -t setup "token written"
