#!/bin/bash
# shows: moved out of the way
# expect: system-delete at line 4
mv /etc/passwd /tmp/
