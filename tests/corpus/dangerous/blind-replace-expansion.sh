#!/bin/bash
# shows: a path by replacement in an expansion
# expect: system-delete at line 5
base=/opt/demo
rm -rf "${base%/opt/demo}/usr"
