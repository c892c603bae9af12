#!/bin/bash
# shows: names given to a shell that removes
# expect: system-delete at line 4
printf '%s\n' /etc /usr | xargs -n1 sh -c 'rm -rf "$0"'
