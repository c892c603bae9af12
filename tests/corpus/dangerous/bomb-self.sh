#!/bin/bash
# shows: a script that starts itself twice
# expect: fork-bomb at line 4
"$0" & "$0"
