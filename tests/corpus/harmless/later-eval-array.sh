#!/bin/bash
# shows: what is its own
# looks like: later-eval-array
words=(rm -rf /var/spool/app)
eval "${words[*]}"
