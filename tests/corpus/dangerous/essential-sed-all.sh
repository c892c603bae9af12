#!/bin/bash
# shows: every line deleted
# expect: system-delete at line 4
sed -i d /etc/group
