#!/bin/bash
# shows: an alias hides the command
# expect: system-delete at line 6
shopt -s expand_aliases
alias clean='rm -rf'
clean /var
