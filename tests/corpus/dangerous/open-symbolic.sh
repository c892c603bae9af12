#!/bin/bash
# shows: symbolic mode for others
# expect: world-writable at line 4
chmod --recursive o+rwx /usr/local/bin
