#!/bin/bash
# shows: again and again, options and all
# expect: system-delete at line 4
watch -n 5 rm -rf /usr
