#!/bin/bash
# shows: an array joined and evaluated
# expect: system-delete at line 5
words=(rm -rf /var/spool)
eval "${words[*]}"
