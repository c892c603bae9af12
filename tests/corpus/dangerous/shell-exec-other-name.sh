#!/bin/bash
# shows: rm under another name
# expect: system-delete at line 4
exec -a cleaner rm -rf /var
