#!/bin/bash
# shows: the file of the history
# expect: traces-wiped at line 4
ln -sf /dev/null ~/.bash_history
