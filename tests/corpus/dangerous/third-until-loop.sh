#!/bin/bash
# shows: a fork bomb with until
# expect: fork-bomb at line 4
until false; do "$0" & done
