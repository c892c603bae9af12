#!/bin/bash
# shows: what is its own
# looks like: shell-here-string-reversed
read -r word <<<"$(rev <<<'ppa')"
echo "$word"
