#!/bin/bash
# shows: an alias for a folder of its own
# looks like: delete-in-alias
shopt -s expand_aliases
alias clean='rm -rf'
clean /opt/demo/tmp
