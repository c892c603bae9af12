#!/bin/bash
# shows: a folder of programs made open
# expect: world-writable at line 4
install -d -m 777 /usr/local/bin
