#!/bin/bash
# shows: find that opens folders
# expect: world-writable at line 4
find /usr -type d -exec chmod 0777 {} +
