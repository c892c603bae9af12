#!/bin/bash
# shows: find's own delete below a system folder
# expect: system-delete at line 4
find /etc -delete
