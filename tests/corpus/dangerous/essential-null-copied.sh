#!/bin/bash
# shows: nothing copied over it
# expect: system-delete at line 4
cp /dev/null /etc/gshadow
