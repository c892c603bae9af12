#!/bin/bash
# shows: everything made from here on is everybody's, whatever was before
# expect: world-writable at line 5
umask 022
umask 0
