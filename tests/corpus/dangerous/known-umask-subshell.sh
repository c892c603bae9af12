#!/bin/bash
# shows: files of everybody, outside of a subshell
# expect: world-writable at line 5
(umask 077 && touch /opt/app/key)
umask 000
