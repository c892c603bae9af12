#!/bin/bash
# shows: behind env, nice and timeout
# expect: system-delete at line 4
env -i PATH=/bin nice -n 19 timeout 60 rm -rf /srv
