#!/bin/bash
# shows: the history goes nowhere
# expect: traces-wiped at line 4
export HISTFILE=/dev/null
