#!/bin/bash
# shows: nothing piped over it
# expect: system-delete at line 4
printf '' | tee /etc/nsswitch.conf
