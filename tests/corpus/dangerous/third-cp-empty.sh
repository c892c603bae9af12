#!/bin/bash
# shows: an empty file over the shadow file
# expect: access-opened at line 5
: >/tmp/empty
cp /tmp/empty /etc/shadow
