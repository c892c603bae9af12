#!/bin/bash
# shows: the default of a default
# expect: system-delete at line 4
rm -rf "${A:-${B:-/srv}}"
