#!/bin/bash
# shows: only the group, everything in /etc
# expect: system-owner at line 4
chown -hR :staff /etc
