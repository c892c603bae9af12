#!/bin/bash
# shows: what is its own
# looks like: shell-read-here-string
read -r first second <<<'/opt/app/a /opt/app/b'
rm -rf "$first" "$second"
