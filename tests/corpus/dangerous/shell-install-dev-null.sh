#!/bin/bash
# shows: passwords replaced by nothing, by install
# expect: system-delete at line 4
install -m 600 /dev/null /etc/shadow
