#!/bin/bash
# shows: a folder that may be unset
# expect: system-delete at line 4
rm -rf /${TARGET_DIR:-}
