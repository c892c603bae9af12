#!/bin/bash
# shows: nested braces
# expect: system-delete at line 4
rm -rf /{usr/{bin,sbin},etc}
