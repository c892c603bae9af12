#!/bin/bash
# shows: the script's own name in its help
# looks like: bomb-self
usage() { echo "usage: $0 [start|stop]"; }
usage
