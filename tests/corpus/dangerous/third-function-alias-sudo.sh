#!/bin/bash
# shows: a function that wraps rm
# expect: system-delete at line 4
remove() { sudo rm -rf "$@"; }
remove /opt/x /usr
