#!/bin/bash
# shows: everything made from here on is everybody's
# expect: world-writable at line 4
umask 000
touch /opt/app/data
