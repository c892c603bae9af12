#!/bin/bash
# shows: a folder read from a here-string
# expect: system-delete at line 5
read -r first second <<<'/root /home'
rm -rf "$first" "$second"
