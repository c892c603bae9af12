#!/bin/bash
# shows: the shell's history
# expect: traces-wiped at line 5
# expect: traces-wiped at line 6
history -c
unset HISTFILE
