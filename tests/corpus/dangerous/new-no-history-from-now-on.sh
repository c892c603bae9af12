#!/bin/bash
# shows: no history from now on
# expect: traces-wiped at line 5
# expect: traces-wiped at line 6
export HISTFILE=/dev/null
ln -sf /dev/null ~/.bash_history
