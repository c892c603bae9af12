#!/bin/bash
# shows: a text given to bash with its arguments
# expect: system-delete at line 4
bash -c 'rm -rf "$@"' clean /usr /etc
