#!/bin/bash
# shows: what is its own
# looks like: carried-eval-array
words=(rm -rf /var/spool/app)
eval "${words[*]}"
